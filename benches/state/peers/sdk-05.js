export * from "lix-sdk-05"
