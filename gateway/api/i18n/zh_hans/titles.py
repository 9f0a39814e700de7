"""The errors' titles."""
# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TITLES: Final[Mapping[str, str]] = {
    "A limit of the backend is reached": "已达到后端的上限",
    "A module of this name already exists": "同名模块已存在",
    "A module of this name exists with other values": "同名模块已存在，但内容不同",
    "A template manages this parent": "此父级由模板管理",
    "Built-in modules are protected": "内置模块受保护",
    "It is not known whether the change was applied": "变更是否已生效尚不确定",
    "More than one module may be the result": "有多个模块可能是此次变更的结果",
    "No such address": "地址不存在",
    "No such backend": "后端不存在",
    "No such module": "模块不存在",
    "No such operation": "操作不存在",
    "No such owner in this scope": "此作用域内没有该负责人",
    "No such parent": "父级不存在",
    "No such scope": "作用域不存在",
    "Only JSON can be answered": "只能以 JSON 格式返回",
    "The Idempotency-Key belongs to another request": "此幂等键已用于另一个请求",
    "The Idempotency-Key is malformed": "幂等键格式错误",
    "The backend cannot keep this field": "后端无法保存此字段",
    "The backend denies permission": "后端不授予权限",
    "The backend did not answer in time": "后端未及时应答",
    "The backend is being left alone": "已暂停调用此后端",
    "The backend is unavailable": "后端不可用",
    "The backend refused": "后端拒绝了请求",
    "The backend rejects the gateway's credentials": "后端不接受网关的凭据",
    "The backend's reply makes no sense": "后端的应答无法识别",
    "The body is not valid JSON": "请求体不是有效的 JSON",
    "The body is too large": "请求体过大",
    "The body must be JSON": "请求体必须是 JSON",
    "The caller is not known": "无法识别调用方",
    "The caller may not do this": "调用方无权执行此请求",
    "The connection does not fit the backend": "连接的配置与后端不符",
    "The description must be sent along": "必须一并提供描述",
    "The field cannot be changed": "此字段不可修改",
    "The gateway failed": "网关内部错误",
    "The journal is unavailable": "操作日志不可用",
    "The method is not allowed here": "此地址不支持该方法",
    "The module is not empty": "模块不为空",
    "The process is ending": "进程即将退出",
    "The request breaks a rule": "请求不符合规则",
    "This name is being created at the moment": "同名模块正在创建",
    "Too many calls wait for this backend": "等待此后端的调用过多",
    "Too many requests": "请求过多",
}
