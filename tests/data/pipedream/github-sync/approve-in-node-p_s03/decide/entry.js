export default defineComponent({
  async run({ steps, $ }) {
    const { body } = steps.ask.$resume_data;
    return body.approved ? "paid" : "refused";
  },
});
