def handler(pd: "pipedream"):
    return "three new orders"
