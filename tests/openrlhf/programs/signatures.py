"""Print the signatures of the trainers of the OpenRLHF that is found, as JSON."""

import importlib
import inspect
import json
import sys

METHODS = ("evaluate", "fit", "ppo_train", "save_logs_and_checkpoints", "train_step")
TRAINERS = {
    "ppo": "BasePPOTrainer",
    "sft": "SFTTrainer",
    "rm": "RewardModelTrainer",
    "dpo": "DPOTrainer",
}

found = {}
for name, trainer in TRAINERS.items():
    kind = getattr(importlib.import_module(f"openrlhf.trainer.{name}_trainer"), trainer)
    methods = {method: getattr(kind, method) for method in METHODS if hasattr(kind, method)}
    found[trainer] = {
        method: [
            [each.name, repr(each.default)]
            for each in inspect.signature(function).parameters.values()
            # Ray adds a parameter to every method of an actor, those that it inherits among them.
            if not each.name.startswith("_ray")
        ]
        for method, function in methods.items()
    }
sys.stdout.write("\n" + json.dumps(found) + "\n")
