def handler(pd: "pipedream"):
    order = pd.steps["total"]["$return_value"]
    pd.flow.suspend(1000 * 60 * 60 * 8)
    return f"Ship to {order['customer']} for {order['sum']} {order['currency']}?"
