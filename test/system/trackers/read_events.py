"""Prints what TensorBoard's own reader finds in a folder of event files, as JSON."""
import hashlib
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
events.Reload()
tags = events.Tags()


def content(tag):
    return events.SummaryMetadata(tag).plugin_data.content


start = metadata.parse_session_start_info_plugin_data(content('_hparams_/session_start_info'))
end = metadata.parse_session_end_info_plugin_data(content('_hparams_/session_end_info'))
print(json.dumps({
    'scalars': {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags['scalars']},
    'images': {
        tag: [[e.step, e.width, e.height, hashlib.sha256(e.encoded_image_string).hexdigest()]
              for e in events.Images(tag)]
        for tag in tags['images']
    },
    'settings': {key: getattr(value, value.WhichOneof('kind'))
                 for key, value in start.hparams.items()},
    'status': end.status,
}))
