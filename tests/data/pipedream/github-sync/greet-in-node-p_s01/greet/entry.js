export default defineComponent({
  async run({ steps, $ }) {
    const { name } = steps.trigger.event.body;
    console.log(`Hello ${name}`);
    $.export("greeting", `Hello ${name}`);
    return name.length;
  },
});
