def handler(pd: "pipedream"):
    raise RuntimeError('not me')
