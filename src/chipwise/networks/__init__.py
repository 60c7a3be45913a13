"""Where networks come from: the zoo, ONNX files, torch factories and run folders; and their layer rows.

`load` and `onnx_file` are light. torch is needed only by `torch_source`, `export`, `trace` and the zoo's factories.
"""
