export default defineComponent({
  props: { currency: { type: "string", default: "USD" } },
  async run({ steps, $ }) {
    const { customer, items } = steps.trigger.event.body;
    const sum = items.reduce((total, { price, count }) => total + price * count, 0);
    return { customer, sum, currency: this.currency };
  },
});
