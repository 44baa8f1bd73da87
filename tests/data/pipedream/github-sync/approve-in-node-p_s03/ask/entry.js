export default defineComponent({
  async run({ steps, $ }) {
    const { resume_url, cancel_url } = $.flow.suspend();
    $.export("differ", resume_url !== cancel_url);
  },
});
