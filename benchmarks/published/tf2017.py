"""TensorFlow's benchmarks of May 2017: images a second in training, fp32, one GPU of a DGX-1 (P100) or of a K80.

tensorflow/docs_src/performance/benchmarks.md (Apache-2.0; CUDA 8, cuDNN 5.1). All rows are held out, and none of the
software is that of the profiles: PyTorch 2.1 with cuDNN 8.9, seven years younger. The P100 here has NVLink and
takes the profile of the one with PCIe; half a K80 takes it too, as the oldest there is. Both were settled before a row
was read; that Winograd's method serves 3x3 convolutions of stride 1 alone (`zoo_kernels`) was put right after it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from chipwise.core.estimate import Workload
from chipwise.devices.known import device
from published.choose import chosen
from published.errors import Error
from published.pricing import priced, zoo_kernels

TABLE = "TensorFlow 2017"
FILE = "tf_benchmarks_2017.csv"
NETWORKS = {
    "InceptionV3": "inception-v3",
    "ResNet-50": "resnet50",
    "ResNet-152": "resnet152",
    "AlexNet": "alexnet",
    "VGG16": "vgg16",
}
FITTED_ON = "Tesla P100 PCIe 16GB"


def errors(tables: Path) -> list[Error]:
    """One record a row of one GPU with synthetic data in `tables`, their folder."""
    with (tables / FILE).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["gpus"] == "1" and row["data"] == "synthetic"]
    profile = chosen(device(FITTED_ON), Workload(phase="training"))
    found = []
    for row in rows:
        batch = int(row["batch_per_gpu"])
        card = device("Tesla P100 SXM2 16GB") if "P100" in row["gpu"] else device("Tesla K80").one_chip()
        error = Error(
            table=TABLE,
            device=card.name,
            row=f"{row['model']} batch {batch} training, {row['platform']}",
            predicted_s=priced(zoo_kernels(NETWORKS[row["model"]], batch), card, profile),
            measured_s=batch / float(row["throughput"]),
            zero_shot=True,
            note="cuDNN 5.1; profile of PyTorch 2.1 on the P100 with PCIe",
        )
        found.append(error)
    return found
