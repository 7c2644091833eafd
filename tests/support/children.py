"""What tests run in another process: a process started afresh finds it here by name, however pytest imports tests."""


def answer(model, x, connection) -> None:
    """Send the bytes of what the model makes of x."""
    connection.send_bytes(model.predict(x, threads=2).tobytes())
