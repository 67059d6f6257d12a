"""LitServe: base64 in JSON, a worker for each core, batches of up to eight or none."""

# pyright: basic, reportMissingImports=false

import base64
import os
import sys

import litserve
from photograph_model import PhotographModel


class SinglePhotographAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = PhotographModel()

    def decode_request(self, request):
        return self.model.read(base64.b64decode(request["image"]))

    def predict(self, x):
        return self.model.score([x])[0]

    def encode_response(self, output):
        return output


class PhotographAPI(SinglePhotographAPI):
    def batch(self, inputs):
        return inputs

    def predict(self, x):
        return self.model.score(x)

    def unbatch(self, output):
        return output


if __name__ == "__main__":
    batch = int(os.environ["BENCHMARK_BATCH"])
    single = SinglePhotographAPI()
    api = PhotographAPI(max_batch_size=batch, batch_timeout=0.01) if batch > 1 else single
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
