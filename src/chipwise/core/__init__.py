"""The nouns, and nothing else: no I/O, no clock, no environment.

Each module holds one family: `network`, `task`, `layer`, `device`, `estimate`, `measure`, `plan`, `report`, `errors`,
`units`, `events`. Import a noun from the module it lives in; nothing here imports a library.
"""
