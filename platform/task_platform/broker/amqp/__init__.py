"""AMQP 0-9-1 on a plain asyncio protocol, a batch at a time, for the two hot loops.

Publishing and consuming cost a library 55 to 75 µs a message, most of it for objects, futures and
tasks that nobody looks at. Here a batch is one buffer each way: `frames` encodes and cuts,
`channel` matches confirms and deliveries, `link` holds the connection. Whatever is not hot is
encoded and decoded by pamqp.
"""
