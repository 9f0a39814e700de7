"""Simplified Chinese, in one wording: a word of the gateway's language is the same word here wherever it stands.

模块 module, 后端 backend, 连接 connection, 作用域 scope (业务 business, 项目 project), 父级 parent, 集群 set,
负责人 owner, 调用方 caller, 运维人员 operator, 操作 operation, 操作日志 journal, 幂等键 idempotency key,
凭据 credentials, 令牌 token, 应答 a backend's reply, 生效 to be applied.
"""

from __future__ import annotations

from typing import Final

from gateway.api.i18n.zh_hans.details import DETAILS
from gateway.api.i18n.zh_hans.fields import FIELDS
from gateway.api.i18n.zh_hans.meanings import MEANINGS
from gateway.api.i18n.zh_hans.syntax import SYNTAX
from gateway.api.i18n.zh_hans.titles import TITLES

TABLES: Final = (TITLES, MEANINGS, DETAILS, FIELDS, SYNTAX)
#: All of them; no sentence stands in two.
TEMPLATES: Final = {sentence: told for table in TABLES for sentence, told in table.items()}
