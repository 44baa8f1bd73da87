export default defineComponent({
  async run({ steps, $ }) {
    const { run } = $.context;
    if (run.runs === 1) {
      const { resume_url } = $.flow.rerun(86400 * 1000, null, 1);
      await fetch(`${steps.trigger.event.service}/keep`, { method: "POST", body: JSON.stringify({ resume_url }) });
    } else if (run.callback_request) {
      return run.callback_request.body;
    }
  },
});
