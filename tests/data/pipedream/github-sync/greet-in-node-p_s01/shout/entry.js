export default defineComponent({
  async run({ steps, $ }) {
    return steps.greet.greeting.toUpperCase() + steps.greet.$return_value;
  },
});
