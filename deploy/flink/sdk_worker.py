"""An SDK worker without a container: does what the boot program of Beam's image does, for a Python that has all packages.

    sdk_worker.py --id=ID --provision_endpoint=HOST:PORT

The provision service of the task manager tells the rest: where to get work, where to send logs, the pipeline's options.
"""

from __future__ import annotations

import argparse
import os

import grpc
from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import json_format, text_format

PROVISION_S = 60


def provided(worker: str, endpoint: str) -> beam_provision_api_pb2.ProvisionInfo:
    """What the task manager says to the worker with this id."""
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        asked = beam_provision_api_pb2.GetProvisionInfoRequest()
        return service.GetProvisionInfo(asked, timeout=PROVISION_S, metadata=[("worker_id", worker)]).info


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    options, _ = parser.parse_known_args()
    info = provided(options.id, options.provision_endpoint)
    os.environ |= {
        "WORKER_ID": options.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    sdk_worker_main.main([])


if __name__ == "__main__":
    main()
