export default defineComponent({
  async run({ steps, $ }) {
    return "Dear " + steps.trigger.event.name;
  },
});
