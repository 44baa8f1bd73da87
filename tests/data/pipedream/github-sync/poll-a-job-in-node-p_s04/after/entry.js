export default defineComponent({
  async run({ steps, $ }) {
    return steps.poll.$return_value.result;
  },
});
