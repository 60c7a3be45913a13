"""What goes into a network and what comes out: pictures to inputs, scores to names, answers to accuracies.

`preprocess` and `pictures` make inputs, `classify` names outputs, `metrics` counts and compares them. The facts that
travel with a network are in `chipwise.core.task`.
"""
