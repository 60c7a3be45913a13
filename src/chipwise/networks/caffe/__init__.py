"""Caffe's networks as ONNX graphs: the text of a `.prototxt`, and the numbers of a `.caffemodel`; Caffe is not needed.

`chipwise.networks.caffe_file.load` is the way in. Here: `schema` describes the messages of caffe.proto that matter,
`prototxt` reads the text, `sketch` is the graph while it is drawn, `layers` and `shapes` draw one layer type each, and
`weights` reads the numbers.

>>> from chipwise.networks.caffe.layers import LAYERS
>>> "Convolution" in LAYERS, "Python" in LAYERS
(True, False)
"""
