"""CMDB's error codes with their English and Chinese texts; source: facts, sections 4, 5 and 9."""

from typing import Any, Final

# code: (English, Chinese); `%!` are formatting errors of the original.
TEXTS: Final[dict[int, tuple[str, str]]] = {
    1101030: ("Having hosts under the target, deleting forbidden", "目标包含主机, 不允许删除"),
    1101075: ("the inst has association", "实例下有关联关系"),
    1101090: (
        "update service category field on module create by template forbidden",
        "禁止修改由模板创建模块的服务分类",
    ),
    1101091: ("update name field on module create by template forbidden", "禁止修改由模板创建模块的名称"),
    1101097: (
        "forbidden add/remove module on set initialized by set template",
        "集群由集群模板创建，禁止添加/删除模块",  # noqa: RUF001 - CMDB's comma
    ),
    1101098: ("forbidden remove or update built in set or module", "禁止删除或更新内置集群/模块"),
    1101099: ("the same module name exist", "已经存在同名模块"),
    1108036: ("service category and template not conincide", "服务分类与服务模板不一致"),
    1199000: ("Deserializing JSON data failed", "反序列化JSON数据失败"),
    1199006: ("'%s' data parameter verification does not pass", "'%s' 数据参数校验不通过"),
    1199007: ("'%s' must be a string type", "'%s' 必须为字符串类型"),
    1199009: ("'%s' parameters must be integral", "'%s' 参数必须是整型"),
    1199010: ("'%s' unassigned", "'%s' 未赋值"),
    1199011: ("'%s' the parameter is invalid or does not exist", "'%s' 参数无效或不存在"),
    1199014: ("duplicated instances exist, fields [%s] duplicated", "数据唯一性校验失败， %s 重复"),  # noqa: RUF001 - CMDB's comma
    1199015: ("Data out of bounds%%!(EXTRA string=%s)", "'%s' 数据越界"),
    1199016: ("'%s' Field regular check failed", "'%s' 字段正则校验失败"),
    1199019: ("No relevant data found", "未找到相关数据"),
    1199027: ("'%s' authorization information query failed", "[%s]授权信息查询失败"),
    1199037: ("%s", "%s"),
    1199045: ("%s", "%s"),
    1199073: ("%s field exceeds maximum value %%!s(int=%d)", "字段%s超过最大值%d"),
    1199083: ("modify field %s forbidden", "禁止修改字段: %s"),
    1199089: (
        "the length of array %s is wrong, the length must be in range 1~500",
        "%s数组长度错误，长度必须在1~500之间",  # noqa: RUF001 - CMDB's comma
    ),
    1199998: ("%s", "%s"),
    1199999: ("topo Internal Server Error", "'topo' 服务器内部错误"),
    9900403: ("Do not have access permission.", "没有操作的权限"),
}


# Names of the actions in a permission error: Chinese in either language.
ACTIONS: Final = {
    "create_biz_topology": "业务拓扑新建",
    "edit_biz_topology": "业务拓扑编辑",
    "delete_biz_topology": "业务拓扑删除",
}
SYSTEM: Final = {"system_id": "bk_cmdb", "system_name": "配置平台"}


class CmdbError(Exception):
    """An error with a code of CMDB; `argument` fills the text: a value, several, or an error that this one wraps."""

    def __init__(
        self,
        code: int,
        argument: "str | tuple[object, ...] | CmdbError" = "",
        *,
        permission: dict[str, object] | None = None,
    ) -> None:
        super().__init__(code, argument)
        self.code = code
        self.argument = argument
        self.permission = permission

    def text(self, *, english: bool) -> str:
        """Return the text; that of a wrapped error is quoted, which doubles its quotes as in CMDB."""
        template = TEXTS[self.code][0 if english else 1]
        argument = self.argument.text(english=english) if isinstance(self.argument, CmdbError) else self.argument
        return template % argument if "%" in template else template


def permission_error(action: str, biz: int, name: str) -> CmdbError:
    """Return the error for a missing permission on a business; `name` is empty if there is no such business."""
    business = {"type": "biz", "type_name": "业务", "id": str(biz), "name": name}
    instances = [[business]]  # one instance, as a path of resources of length 1
    resource_type: dict[str, Any] = {**SYSTEM, "type": "biz", "type_name": "业务", "instances": instances}
    action_entry = {"id": action, "name": ACTIONS[action], "related_resource_types": [resource_type]}
    return CmdbError(9900403, permission={**SYSTEM, "actions": [action_entry]})
