export default defineComponent({
  async run({ steps, $ }) {
    return steps.transcribe.$return_value.text.split(" ").length;
  },
});
