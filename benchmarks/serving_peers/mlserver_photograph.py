"""MLServer: its V2 protocol with the JPEG in base64, parallel workers as its settings say."""

# pyright: basic, reportMissingImports=false

import json

from mlserver import MLModel
from mlserver.codecs import Base64Codec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from photograph_model import PhotographModel


class Photographs(MLModel):
    async def load(self) -> bool:
        self.model = PhotographModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        contents = Base64Codec.decode_input(payload.inputs[0])
        answers = self.model.score([self.model.read(content) for content in contents])
        outputs = [StringCodec.encode_output("answers", [json.dumps(one) for one in answers])]
        return InferenceResponse(model_name=self.name, outputs=outputs)
