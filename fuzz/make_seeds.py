"""Writes the seeds: small inputs of each kind that are right (pip install numpy pillow pyarrow safetensors)."""

import io
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import save

SEEDS = pathlib.Path(__file__).parent / "seeds"


def write(target, name, content):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def picture():
    out = io.BytesIO()
    Image.new("L", (2, 2), 128).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def table(labels, compression, dictionary):
    out = io.BytesIO()
    columns = pa.table({"image": [picture() for _ in labels], "label": labels})
    pq.write_table(columns, out, compression=compression, use_dictionary=dictionary, store_schema=False)
    return out.getvalue()


write("parquet", "whole-numbers", table([0, 1, 2], "none", False))
write("parquet", "text-in-a-dictionary", table(["a", "b", "a"], "none", True))
write("parquet", "compressed", table([True, False, True], "snappy", True))

for name, mode, options in [("baseline", "RGB", {}), ("progressive", "RGB", {"progressive": True}), ("inks", "CMYK", {})]:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((17, 9)).convert(mode).save(out, "JPEG", quality=50, **options)
    write("image", name, out.getvalue())
write("image", "png", picture()["bytes"])
out = io.BytesIO()
Image.new("RGB", (3, 2), "red").save(out, "WEBP")
write("image", "webp", out.getvalue())

tensors = {"fc.bias": np.zeros(2, np.float32), "conv1.bias": np.ones(6, np.float16)}
write("parameters", "two-tensors", save(tensors, {"format": "pt"}))

selected = {"stage": "erm", "epoch": 1.0, "step": 3, "metric": "average_accuracy", "value": 0.5}
best = {"selected": selected, "average": 0.5}
counters = {"stage": "erm", "step": 3, "loss_sum": 0.0, "loss_count": 0, "best": best, "duration_s": 1.0,
            "log": {"metrics": 10, "events": 10}}
split = {"split": "test", "count": 1, "average_accuracy": 1.0, "groups_overlap": False, "groups": []}
result = {"name": "erm", "title": "ERM", "steps": 3, "duration_s": 1.0, "selected": selected, "notes": [],
          "val": split, "test": split}
bias = {"fc.bias": np.zeros(2, np.float32)}
in_parts = {"model/fc.bias": bias["fc.bias"], "optimizer/fc.bias.momentum": bias["fc.bias"]}
write("checkpoint", "last", b"\0" + save(in_parts, {"cnc": json.dumps(counters)}))
write("checkpoint", "best", b"\1" + save(bias, {"cnc": json.dumps(best)}))
write("checkpoint", "best-next", b"\2" + save(bias, {"cnc": json.dumps(best)}))
finished = {"result": result, "log": counters["log"]}
write("checkpoint", "stage", b"\3" + save({"last/fc.bias": bias["fc.bias"]}, {"cnc": json.dumps(finished)}))

datasets = SEEDS.parent.parent / "datasets"
for name in ["digits", "cmnist"]:
    write("manifest", name, (datasets / name / "dataset.toml").read_bytes())
    write("recipe", name, b"temperature=0.1\n" + (datasets / name / "recipe.toml").read_bytes())
