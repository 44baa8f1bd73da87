def handler(pd: "pipedream"):
    return {"weekdays": len([day for day in range(7) if day < 5])}
