"""Replace the few actions of Pipedream's registry that need no app with JavaScript of this package."""

from textwrap import dedent


def find_replacement(action: str) -> str | None:
    """Return JavaScript that does what an action of the registry does; None if there is none.

    Args:
        action: Its key, with or without `@version` and an owner.
    """
    key = action.rpartition("/")[2].partition("@")[0]
    return _CODE.get(key)


_SEND_EMAIL = dedent("""\
    export default defineComponent({
      async run({ $ }) {
        $.send.email({ subject: this.subject, text: this.text, html: this.html });
      },
    });
    """)

_RESPOND = dedent("""\
    export default defineComponent({
      async run({ $ }) {
        const response = { status: Number(this.resStatusCode ?? 200), headers: this.resHeaders, body: this.resBody };
        await $.respond(response);
        return response;
      },
    });
    """)

_REQUEST = dedent("""\
    export default defineComponent({
      props: { httpRequest: { type: "http_request" } },
      async run({ $ }) {
        return await this.httpRequest.execute($);
      },
    });
    """)

_FILTER = """\
const isEmpty = (it) => it == null || it === "" || (typeof it === "object" && Object.keys(it).length === 0);
const holds = {
  IN: (a, b) => String(a).includes(b),
  NOT_IN: (a, b) => !String(a).includes(b),
  CONTAINS: (a, b) => String(a).includes(b),
  DOES_NOT_CONTAIN: (a, b) => !String(a).includes(b),
  EQUALS: (a, b) => String(a) === String(b),
  NOT_EQUALS: (a, b) => String(a) !== String(b),
  TEXT_EQUALS: (a, b) => String(a) === String(b),
  TEXT_NOT_EQUALS: (a, b) => String(a) !== String(b),
  STARTS_WITH: (a, b) => String(a).startsWith(b),
  ENDS_WITH: (a, b) => String(a).endsWith(b),
  GREATER_THAN: (a, b) => Number(a) > Number(b),
  GREATER_THAN_EQUALS: (a, b) => Number(a) >= Number(b),
  LESS_THAN: (a, b) => Number(a) < Number(b),
  LESS_THAN_EQUALS: (a, b) => Number(a) <= Number(b),
  TRUE: (a) => a === true || a === "true",
  FALSE: (a) => a === false || a === "false",
  IS_NULL: (a) => a == null,
  NOT_NULL: (a) => a != null,
  IS_EMPTY: isEmpty,
  NOT_EMPTY: (a) => !isEmpty(a),
};

export default defineComponent({
  async run({ $ }) {
    const test = holds[this.condition];
    if (!test) throw new Error(`the condition ${this.condition} has no counterpart here: write it yourself`);
    const isMet = test(this.initialValue, this.secondValue);
    if (isMet === __GOES_ON__) return this.reason ?? "the workflow continues";
    return $.flow.exit(this.reason ?? "the condition of this filter ended the workflow");
  },
});
"""

_CODE = {
    "email-send-email-to-self": _SEND_EMAIL,
    "http-return-http-response": _RESPOND,
    "http-custom-request": _REQUEST,
    "http-get-request": _REQUEST,
    "http-post-request": _REQUEST,
    "http-put-request": _REQUEST,
    "http-delete-request": _REQUEST,
    "filter-continue-based-on-condition": _FILTER.replace("__GOES_ON__", "true"),
    "filter-end-based-on-condition": _FILTER.replace("__GOES_ON__", "false"),
}
