export default defineComponent({
  async run({ steps, $ }) {
    const { authorization, path } = steps.call_shop.$return_value;
    return [authorization.length, path];
  },
});
