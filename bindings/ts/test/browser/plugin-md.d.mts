export function pluginMd(): Promise<string>
