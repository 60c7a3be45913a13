r"""Darknet's networks as ONNX graphs: the text of a `.cfg`, and the numbers of a `.weights` file.

`chipwise.networks.darknet_file.load` is the way in. Here: `cfg` reads the text, `build` walks its sections, one module
a group of layer types draws them (`convolution`, `dense`, `window`, `joining`, `recurrent`, `heads`), `weights` reads
the numbers and `task` says what the network is for.

>>> from chipwise.networks.darknet.cfg import parse
>>> [section.type for section in parse("[net]\ninputs=4\n[connected]\noutput=2").layers]
['connected']
"""
