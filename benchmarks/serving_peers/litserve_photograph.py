"""LitServe: base64 in JSON, batches of up to eight, a worker for each core."""

# pyright: basic, reportMissingImports=false

import base64
import os
import sys

import litserve
from photograph_model import PhotographModel


class PhotographAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = PhotographModel()

    def decode_request(self, request):
        return self.model.read(base64.b64decode(request["image"]))

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        return self.model.score(inputs)

    def unbatch(self, outputs):
        return outputs

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = PhotographAPI(max_batch_size=8, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
