import { axios } from "@pipedream/platform";

export default defineComponent({
  props: { shop: { type: "app", app: "shop" }, limit: { type: "integer", default: 5 } },
  async run({ steps, $ }) {
    return await axios($, {
      url: `${steps.trigger.event.service}/echo`,
      headers: { Authorization: `Bearer ${this.shop.$auth.oauth_access_token}` },
      params: { limit: this.limit },
    });
  },
});
