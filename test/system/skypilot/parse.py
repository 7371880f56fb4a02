"""Reads SkyPilot tasks from stdin, a JSON document per line, and prints for each what SkyPilot's
parser makes of it: {"nodes": 2, ...}, or {"error": "..."}."""

import json
import sys

import sky

for line in sys.stdin:
    try:
        config = json.loads(line)
        secrets = [(name, "the-secret") for name in config.get("secrets") or {}]
        task = sky.Task.from_yaml_config(config, secrets_overrides=secrets)
        (resources,) = task.resources
        result = {
            "nodes": task.num_nodes,
            "accelerators": resources.accelerators,
            "mounts": task.file_mounts,
            "shown": f"{task!r} {task.secrets}",
        }
    except Exception as error:  # pylint: disable=broad-except
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result))
