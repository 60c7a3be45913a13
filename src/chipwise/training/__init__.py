"""Train a network on this machine: loop, optimizers, augmentation, checkpoints that survive a kill, TensorBoard events.

`settings`, `augmentations` and `recipes` are light; every other module here needs torch and is imported by whoever
trains.
"""
