export default defineComponent({
  async run({ steps, $ }) {
    return "went on";
  },
});
