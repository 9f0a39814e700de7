"""What the registry of errors says of each: what happened, and what to do."""
# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    # the request itself
    "The body is not one JSON object: syntax, duplicate keys, NaN, lone surrogates or nesting too deep.": (
        "请求体不是一个 JSON 对象：语法错误、键重复、含有 NaN、含有不成对的代理项，或嵌套过深。"
    ),
    "The body is not declared as JSON. Send Content-Type: application/json.": (
        "请求体未声明为 JSON。请发送 Content-Type: application/json。"
    ),
    "The body is longer than 64 KiB, or a backend found a request too large.": (
        "请求体超过 64 KiB，或后端认为请求过大。"
    ),
    "The Accept header excludes JSON, the only format there is.": "Accept 请求头排除了 JSON，而 JSON 是唯一的格式。",
    "The request proves no identity that the gateway knows. Send an API key, a valid token, or come by the mesh.": (
        "请求未能证明网关所知的身份。请提供 API 密钥或有效的令牌，或经由服务网格访问。"
    ),
    "The caller's allow-list does not cover this; no backend was asked. The operator of the gateway can extend it.": (
        "调用方的许可列表不包含此请求；未向任何后端发送请求。网关的运维人员可以扩充该列表。"
    ),
    "No such address. /openapi.json lists those that exist.": "地址不存在。现有的地址见 /openapi.json。",
    "The address exists, the method does not; the Allow header names those that do.": (
        "地址存在，但不支持该方法；支持的方法见 Allow 响应头。"
    ),
    "No module has this id: never created, deleted, or the id is malformed.": (
        "没有此 ID 的模块：从未创建、已被删除，或 ID 格式错误。"
    ),
    "No operation has this id, or it has expired, or it is another caller's.": (
        "没有此 ID 的操作，或该操作已过期，或属于其他调用方。"
    ),
    "The Idempotency-Key is not 1 to 255 visible ASCII characters, bare or quoted.": (
        "幂等键（Idempotency-Key）不是 1 至 255 个可见 ASCII 字符；可以加双引号，也可以不加。"
    ),
    "The Idempotency-Key belongs to an earlier, different request. Nothing was sent; use a new key.": (
        "幂等键（Idempotency-Key）属于先前的另一个请求。未向后端发送任何内容；请使用新的幂等键。"
    ),
    "One or more fields break a rule; `errors` names all of them. Correct them and send again.": (
        "一个或多个字段不符合规则；`errors` 列出了全部错误。请更正后重新发送。"
    ),
    "The backend cannot keep this field, and the gateway drops nothing in silence. Leave it out.": (
        "后端无法保存此字段，而网关不会悄悄丢弃任何内容。请去掉此字段。"
    ),
    "The field is fixed once a module exists: a module cannot be moved, nor a template's fields changed.": (
        "模块创建后，此字段即固定不变：模块不能移动，由模板决定的字段也不能修改。"
    ),
    "The backend replaces the description on every update and cannot be asked for the old one: send it along.": (
        "后端在每次更新时都会替换描述，且无法读取原有的描述：请一并提供描述。"
    ),
    "No connection has this name; /backends lists those that exist.": "没有此名称的连接；现有的连接见 /backends。",
    "The business or project does not exist, or is not visible to the gateway.": "业务或项目不存在，或对网关不可见。",
    "The set or parent module does not exist in this scope.": "此作用域内没有该集群或父模块。",
    "The owner does not exist or is not a member of the project.": "负责人不存在，或不是该项目的成员。",
    # the module's state
    "A module of this name is there already; `existing` is its id. Use it, or choose another name.": (
        "同名模块已存在；其 ID 见 `existing`。请使用该模块，或换一个名称。"
    ),
    "With if_exists=adopt: a module of this name exists and differs; `diff` says in what.": (
        "使用 if_exists=adopt 时：同名模块已存在，但内容不同；差异见 `diff`。"
    ),
    "The same name is being created at this moment. This request changed nothing; repeat it in a while.": (
        "同名模块正在创建。此请求未做任何变更；请稍后重试。"
    ),
    "The module has children, hosts or associations. Remove them, or use cascade=true for children.": (
        "模块下有子模块、主机或关联。请先移除；子模块可以用 cascade=true 一并删除。"
    ),
    "The parent was made from a template, which alone adds and removes its modules.": (
        "父级由模板创建，其下的模块只能通过模板增减。"
    ),
    "The backend's own built-in modules can be neither changed nor deleted.": (
        "后端自带的内置模块既不能修改，也不能删除。"
    ),
    "The backend's limit of modules, levels or quota is reached, or the account is suspended.": (
        "已达到后端对模块数、层级或配额的上限，或账号已被停用。"
    ),
    # a backend said no
    "The backend denies the acting user this operation; `permission`, where given, says what to apply for.": (
        "后端不允许当前用户这样做；如有 `permission`，其中列出了需要申请的权限。"
    ),
    "The backend rejects the gateway's own credentials. The operator must correct the connection.": (
        "后端不接受网关自身的凭据。须由运维人员更正连接的配置。"
    ),
    "The connection's address, route or model does not fit the backend. The operator must correct it.": (
        "连接的地址、路由或模型与后端不符。须由运维人员更正。"
    ),
    "The backend refused for a reason that has no better code; `upstream` carries its own.": (
        "后端拒绝了请求，其原因没有更确切的错误码；后端自身的错误码见 `upstream`。"
    ),
    "Too many requests, for the gateway or for the backend. Retry after Retry-After.": (
        "请求过多，超出网关或后端的限制。请等待 Retry-After 所示的时间后重试。"
    ),
    # nobody could answer
    "The backend could not be reached, or refused before it could apply anything. Retry.": (
        "无法连接后端，或后端在变更生效之前就已拒绝。请重试。"
    ),
    "A read took longer than the deadline. Retry.": "读取超过了截止时间。请重试。",
    "A read was answered with something that is not the backend's format.": "读取时得到的应答不符合后端的格式。",
    "The backend has been failing, and the gateway leaves it alone for a while. Retry after Retry-After.": (
        "后端持续出错，网关暂停调用一段时间。请等待 Retry-After 所示的时间后重试。"
    ),
    "So many calls wait for this backend that one more would wait in vain. Retry after Retry-After.": (
        "等待此后端的调用过多，再等也等不到结果。请等待 Retry-After 所示的时间后重试。"
    ),
    "The journal cannot be written, and without it nothing is sent. Retry.": (
        "操作日志无法写入；没有操作日志，网关不向后端发送任何内容。请重试。"
    ),
    "This process is about to end and begins nothing new. Retry: another one answers.": (
        "此进程即将退出，不再受理新的请求。请重试：将由另一个进程应答。"
    ),
    # nobody can say yet
    "The change was sent and may or may not have been applied. Repeat the same request, or read the module.": (
        "变更已发送，可能已生效，也可能未生效。请重复同一请求，或读取该模块。"
    ),
    "More than one module answers to what was asked for. A person must decide which one is meant.": (
        "有多个模块与请求相符。须由人工判断是哪一个。"
    ),
    "A bug in the gateway. Report it with the request_id.": "网关存在缺陷。请附上 request_id 报告此问题。",
}
