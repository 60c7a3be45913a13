"""Plans behind the protocol that clients already speak: the Open Inference Protocol v2 with Triton's extensions.

A request goes through: `inflate`, `request` (bytes to tensors), `queue` (bounded, in batches), a worker process
(`worker`), `answer` (tensors to bytes). `http` and `grpc_service` are the two doors; `server` is the whole.
"""
