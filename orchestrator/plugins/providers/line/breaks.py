"""What a broken connection means: aiohttp's exceptions to the errors of :mod:`orchestrator.core.errors`. Pure."""

from __future__ import annotations

import os

import aiohttp

from orchestrator.core.errors import BadRequest, BrokenReply, CutOff, ModelError, StaleConnection, Stalled, Unreachable

_CURE = "is the server running?"


def before_headers(error: Exception, place: str, reused: bool) -> ModelError:
    """For a request to ``place`` (its origin) that failed before its answer began. ``reused``: on a connection that had
    carried one before."""
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return _not_connected(error, place)
    if isinstance(error, TimeoutError):
        return Stalled(f"{place} did not answer in time")
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.ClientResponseError)):
        return _not_understood(error, place)
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return CutOff(f"{place} closed the connection within its headers")
    if reused:
        return StaleConnection(f"{place} closed a kept connection before it answered")
    return Unreachable(f"{place} closed the connection before it answered", cure=_CURE)


def _not_connected(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError, place: str) -> ModelError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Unreachable(f"{place} does not accept connections", cure=_CURE)
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return Unreachable(f"{place}: the TLS handshake failed: {error}", cure="check its certificate")
    reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        proxy = f"{error.host}:{error.port}"
        return Unreachable(f"{place} cannot be reached through the proxy {proxy}: {reason}", cure="check the proxy")
    return Unreachable(f"{place} cannot be reached: {reason}", cure=_CURE)


def _not_understood(error: aiohttp.InvalidURL | aiohttp.ClientResponseError, place: str) -> ModelError:
    if isinstance(error, aiohttp.InvalidURL):
        return BadRequest(f"{place} is no address of a server")
    return BrokenReply(f"{place} does not speak HTTP: {error.message[:120]}")


def while_reading(error: Exception) -> ModelError:
    """For an answer that broke off after its headers."""
    if isinstance(error, TimeoutError):
        return Stalled("the answer did not end in time")
    return CutOff(f"the connection broke within the answer: {str(error) or type(error).__name__}")
