"""What an error says of the case at hand."""
# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DETAILS: Final[Mapping[str, str]] = {
    # the body
    "A Content-Encoding is not supported.": "不支持 Content-Encoding。",
    "It has a number too large to be kept.": "含有大到无法保存的数值。",
    "It has a number too long to be read.": "含有长到无法读取的数字。",
    "It has the same key twice in one object.": "同一个对象中有重复的键。",
    "It is nested deeper than {} levels.": "嵌套超过 {} 层。",
    "It is not well-formed UTF-8, or has half of a surrogate pair.": "不是正确的 UTF-8，或含有不成对的代理项。",
    "It must be an object.": "必须是一个 JSON 对象。",
    "Send Content-Type: {} or {}, in UTF-8.": "请发送 Content-Type: {} 或 {}，以 UTF-8 编码。",
    "Send Content-Type: {}, in UTF-8.": "请发送 Content-Type: {}，以 UTF-8 编码。",
    "{} is no JSON number.": "{} 不是 JSON 的数值。",
    # the module's state
    "A module named '{}' is there already, under parent {} of scope {}.": (
        "名为“{0}”的模块已存在，位于作用域 {2} 的父级 {1} 下。"
    ),
    "A module named '{}' is there already, under scope {}.": "名为“{0}”的模块已存在，位于作用域 {1} 下。",
    "A module of this name was there already, or is not as asked for.": "同名模块先前已存在，或与所请求的不符。",
    "The module has children; cascade=true deletes them too.": "模块下有子模块；使用 cascade=true 可一并删除。",
    # what became of it
    "The backend could not be read before the change; nothing was changed.": "变更之前无法读取后端；未做任何变更。",
    "The change was accepted, but the module could not be read back.": "后端已接受变更，但无法读回该模块。",
    "The create was looked for until it could not come any more: it was not applied.": (
        "已一直查找到创建不可能再生效为止：创建未生效。"
    ),
    "{} of {} modules were deleted; repeat the request.": "共 {1} 个模块，已删除 {0} 个；请重复此请求。",
    # the way to the backend
    "IAM has rejected these credentials; it is not asked again for a while.": (
        "IAM 不接受这些凭据；一段时间内不再向其请求。"
    ),
    "No connection to the backend could be made; nothing was sent.": "无法与后端建立连接；未发送任何内容。",
    "No token was to be had before the deadline; nothing was sent.": "在截止时间之前未能取得令牌；未发送任何内容。",
    "The gateway's own limit of requests a second to this backend is reached; nothing was sent.": (
        "已达到网关自身对此后端每秒请求数的上限；未发送任何内容。"
    ),
    "The backend's certificate cannot be verified, its address is none, or a setting cannot be sent.": (
        "后端的证书无法验证、其地址无效，或某项设置无法发送。"
    ),
    "The backend's reply is no HTTP, or ended too early.": "后端的应答不是 HTTP，或提前结束。",
    "The connection failed after the request was sent; it may have been applied.": (
        "请求发送之后连接中断；变更可能已生效。"
    ),
    "The connection to the backend broke.": "与后端的连接中断。",
    "The deadline passed before the request was sent.": "请求发送之前已过截止时间。",
    "The backend's reply makes no sense: it carries no token.": "后端的应答无法识别：其中没有令牌。",
    "The backend's reply makes no sense: it confirms no deletion.": "后端的应答无法识别：其中没有对删除的确认。",
    "The backend's reply makes no sense: it describes no module.": "后端的应答无法识别：其中没有模块的内容。",
    "The backend's reply makes no sense: it is no JSON document.": "后端的应答无法识别：不是 JSON 文档。",
    "The backend's reply makes no sense: it is no envelope.": "后端的应答无法识别：不是约定的外层格式。",
    "The backend's reply makes no sense: it is too large.": "后端的应答无法识别：应答过大。",
    "The backend's reply makes no sense: it lists no members.": "后端的应答无法识别：其中没有成员列表。",
    "The backend's reply makes no sense: it lists no modules.": "后端的应答无法识别：其中没有模块列表。",
    "The backend's reply makes no sense: it lists no sets.": "后端的应答无法识别：其中没有集群列表。",
    "The backend rejects the credential that was sent along.": "后端不接受随请求提供的凭据。",
    "This connection acts with the caller's own token, and none was sent along.": (
        "此连接使用调用方自己的令牌，而请求未提供令牌。"
    ),
    # the journal
    "The journal cannot be used: {}.": "操作日志无法使用：{}。",
    "The journal's file is not where it was; put it back, or start anew.": (
        "操作日志的文件已不在原处；请放回原处，或重新启动。"
    ),
    "The journal's folder cannot be made.": "无法创建操作日志所在的目录。",
    "The journal's schema is of version {}; this program knows {} at most.": (
        "操作日志的表结构为版本 {}；此程序最高只支持版本 {}。"
    ),
    "Too many operations came and went under this name.": "此名称下先后出现的操作过多。",
    "Whoever wrote for all was interrupted.": "代为统一写入的一方被中断。",
    # who asks
    "Nothing in the request proves who sends it.": "请求中没有任何可以证明发送者身份的内容。",
    "The API key belongs to no caller.": "此 API 密钥不属于任何调用方。",
    "The Authorization header must say Bearer and a key or token.": (
        "Authorization 请求头必须是 Bearer 加密钥或令牌。"
    ),
    "The caller {} may not {} modules in scope {} of {}.": "调用方 {0} 无权在 {3} 的作用域 {2} 中对模块执行 {1}。",
    "The issuer shows no key that can be used.": "签发方未公布可用的密钥。",
    "The certificate belongs to no caller.": "此证书不属于任何调用方。",
    "The connection {} acts with the caller's own credential: send {}.": ("连接 {} 使用调用方自己的凭据：请发送 {}。"),
    "The keys that tokens are verified with could not be fetched.": "无法获取用于验证令牌的密钥。",
    "The token cannot be verified.": "令牌无法验证。",
    "The token has expired.": "令牌已过期。",
    "The token is not valid yet.": "令牌尚未生效。",
    "The token is signed by a key that its issuer does not show.": "令牌的签名密钥未由其签发方公布。",
    "The token is signed by an algorithm that is not allowed.": "令牌所用的签名算法不被允许。",
    "The token names no user in {}.": "令牌的 {} 中没有用户。",
    "The token's claims belong to no caller, or to more than one.": (
        "令牌的声明不属于任何调用方，或属于不止一个调用方。"
    ),
    "This caller asks more often than he may.": "此调用方的请求过于频繁。",
}
