def handler(pd: "pipedream"):
    return pd.steps["first"]["doubled"]
