def handler(pd: "pipedream"):
    return pd.steps["first"]["$return_value"] + 1
