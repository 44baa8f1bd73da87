def handler(pd: "pipedream"):
    answer = pd.steps["ask"]["$resume_data"]["body"]
    return "paid" if answer["approved"] else "refused"
