export default defineComponent({
  async run({ steps, $ }) {
    if (!steps.ask.$resume_data.body.approved) {
      return $.flow.exit("not approved");
    }
    return `shipped to ${steps.total.$return_value.customer}`;
  },
});
