"""The server: a hardwired model behind OpenAI's API, and a page to talk to it.

Needs the packages of the extra `serve`.
"""

from hnlpu.serve._app import create_app
from hnlpu.serve._self_test import self_test
from hnlpu.serve._server import open_sound_build, serve
from hnlpu.serve._service import Service
from hnlpu.serve._settings import ServerSettings

__all__ = ["ServerSettings", "Service", "create_app", "open_sound_build", "self_test", "serve"]
