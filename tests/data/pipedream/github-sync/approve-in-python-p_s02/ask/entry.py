def handler(pd: "pipedream"):
    links = pd.flow.suspend(1000 * 60 * 60)
    print(len(links["resume_url"]) > 0)
