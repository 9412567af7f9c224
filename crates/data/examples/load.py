"""How many images a second torchvision makes for training, on one core: load.py SIDE FOLDER, as the example `load`."""

import sys
import time

import torch
from torchvision import datasets, transforms

side, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
if side < 100:
    steps = [transforms.RandomCrop(side, padding=4)]
else:
    steps = [transforms.Resize(256), transforms.CenterCrop(256), transforms.RandomCrop(side)]
mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
steps += [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(mean, std)]
images = datasets.ImageFolder(folder, transforms.Compose(steps))
loader = torch.utils.data.DataLoader(images, batch_size=128, shuffle=True, num_workers=0)
for _ in range(4):
    start, n = time.perf_counter(), 0
    for batch, _ in loader:
        n += len(batch)
    seconds = time.perf_counter() - start
    print(f"{n} images in {seconds:.2f} s: {n / seconds:.0f} images/s", flush=True)
