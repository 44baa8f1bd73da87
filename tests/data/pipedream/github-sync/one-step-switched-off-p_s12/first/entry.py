def handler(pd: "pipedream"):
    return 1
