def handler(pd: "pipedream"):
    return pd.steps["list_files"]["files"] + 1
