def handler(pd: "pipedream"):
    name = pd.steps["trigger"]["event"]["body"]["name"]
    print("Hello", name)
    return {"greeting": f"Hello {name}", "letters": len(name)}
