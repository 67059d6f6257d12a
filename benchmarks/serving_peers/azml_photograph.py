"""Entry script of the reference server: a raw request holds one JPEG."""

# pyright: basic, reportMissingImports=false

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
from photograph_model import PhotographModel


def init():
    global model  # noqa: PLW0603 - what the two functions of an entry script share
    model = PhotographModel()


@rawhttp
def run(request: AMLRequest):
    (answer,) = model.score([model.read(request.get_data())])
    return AMLResponse(answer, 200, json_str=True)
