def handler(pd: "pipedream"):
    return pd.steps["greet"]["$return_value"]["greeting"].upper()
