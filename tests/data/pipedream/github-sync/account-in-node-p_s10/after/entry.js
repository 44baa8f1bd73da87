export default defineComponent({
  async run({ steps, $ }) {
    return steps.call_shop.$return_value.path;
  },
});
